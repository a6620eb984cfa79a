"""Speed of training, measured beside a bare PyTorch loop and beside Pythae."""
