"""Files of Gaussian splats: one format a module; `any` chooses."""
