"""Never compute the same answer twice: in-process memory, then Redis or Valkey, then the computation itself, once."""
