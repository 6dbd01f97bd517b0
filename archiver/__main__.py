"""The installed command, and ``python -m archiver``. Prepares for Ctrl-C before importing anything else."""


def run() -> None:
    """Run the command line, and end the process with the exit code."""
    try:
        from archiver import keyboard_interrupt

        keyboard_interrupt.exit_on_ctrl_c(keyboard_interrupt.EXIT_CODE)
        keyboard_interrupt.ignore_ctrl_c_at_exit()
        from archiver.cli.main import run as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        # Ctrl-C was pressed before the handler was installed, or outside the code that handles the exception. 130
        # is keyboard_interrupt.EXIT_CODE, which is not available if the import of that module was interrupted.
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
