"""Experiencing: PPO over batched worlds, training the residual-attention adapters only."""
