"""What the speed figures in the documentation come from; README.md says how to run each."""
