"""Every comparison, in one run and one table: `make bench`."""

from benchmarks import chats, first_step, image_lora, preferences, reads, upload
from benchmarks.comparison import show

show(
    [
        *reads.comparisons(),
        *upload.comparisons(),
        *first_step.comparisons(),
        *chats.comparisons(),
        *preferences.comparisons(),
        *image_lora.comparisons(),
    ]
)
