"""Hourglass finds, with evidence, the reconstruction loss an autoencoder should be trained with."""

__version__ = "0.1.0"
