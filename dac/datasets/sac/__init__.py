"""Data of one's own from Soft Actor-Critic (Stable-Baselines3)."""
