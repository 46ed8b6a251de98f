"""The Lightning adapter, optimizers, checkpoints and monitors."""
