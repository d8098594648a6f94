"""The ways into the calculus: PyTorch programs, and the declarations of their inputs."""
