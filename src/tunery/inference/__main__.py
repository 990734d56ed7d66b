"""The child: requests as lines on standard input, answers as lines on standard output.

It ends at once when its standard input closes, whatever it is doing.
"""

from tunery.inference.pipes import incoming, own_output
from tunery.inference.protocol import Answer, command, to_line


def main() -> None:
    """Serve until standard input closes."""
    output = own_output()
    commands = incoming(command)

    # Only now, with the reader at work: torch takes seconds, and the server may go meanwhile.
    from tunery.inference.scales import Scales
    from tunery.inference.shelf import Shelf
    from tunery.inference.text import Reply
    from tunery.inference.turns import Turns

    def say(answer: Answer) -> None:
        output.write(to_line(answer))
        output.flush()

    shelf = Shelf()
    Turns(lambda request: Reply(shelf, request), Scales().measure, say).serve(commands)


if __name__ == "__main__":
    main()
