"""The subcommands of `nas`, one module each, imported when called."""
