"""Diffusion Actor-Critic (arXiv 2405.20555): agent, datasets, training, evaluation and report."""
