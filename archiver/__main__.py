"""The installed command, and ``python -m archiver``; it imports nothing before Ctrl-C ends it quietly."""


def run() -> None:
    """Run the command line, and end the process with its exit code."""
    try:
        from archiver import keyboard_interrupt

        keyboard_interrupt.end_at_once(keyboard_interrupt.INTERRUPTED)
        from archiver.cli.main import run as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        # Before that handler was in force, or beside the work; the module with the name for 130 may be missing.
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
