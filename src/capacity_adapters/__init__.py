"""How the core meets databases, files and the command line."""
