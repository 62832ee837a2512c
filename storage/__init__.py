"""What models exist, and where their bytes are. Imports none of the rest of headrace."""
