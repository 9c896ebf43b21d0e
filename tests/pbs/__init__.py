"""An OpenPBS for tests: commands that answer like OpenPBS 23.06, and a server that runs jobs for real."""
