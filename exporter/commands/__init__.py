"""What the command line does beside serving: one file a command, imported only when it is asked for."""
