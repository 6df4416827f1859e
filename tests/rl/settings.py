"""The smallest policy that can be fine-tuned."""

from s2e.policy.config import PolicyConfig

CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1, free_space=True)
