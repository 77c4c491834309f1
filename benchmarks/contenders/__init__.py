"""What is measured: each file is a process that runs steps when it is asked."""
