"""Many runs of one trainer side by side in one process, each as if it were alone."""
