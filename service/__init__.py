"""What every process of ours that answers HTTP is made of."""
