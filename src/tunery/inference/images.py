"""The child that draws: requests as lines on standard input, answers on standard output.

It ends at once when its standard input closes, whatever it is doing.
"""

from tunery.inference.picture_protocol import Answer, command
from tunery.inference.pipes import incoming, own_output
from tunery.inference.protocol import to_line


def main() -> None:
    """Serve until standard input closes."""
    output = own_output()
    commands = incoming(command)

    # Only now, with the reader at work: torch takes seconds, and the server may go meanwhile.
    import diffusers.utils.logging
    import transformers.utils.logging

    from tunery.inference.drawing import draw
    from tunery.inference.easel import Easels
    from tunery.inference.one_by_one import OneByOne

    # Their warnings quote prompts, which are nobody's business but the caller's.
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    def say(answer: Answer) -> None:
        output.write(to_line(answer))
        output.flush()

    easels = Easels()
    OneByOne(lambda request, on_step: draw(easels, request, on_step), say, commands).serve()


if __name__ == "__main__":
    main()
