"""Every comparison, in one run and one table: `make bench`."""

from benchmarks import first_step, image_lora, preferences, reads, upload
from benchmarks.comparison import show

show(
    [
        *reads.comparisons(),
        *upload.comparisons(),
        *first_step.comparisons(),
        *preferences.comparisons(),
        *image_lora.comparisons(),
    ]
)
