"""The match test rated by people and by judge models."""
