"""Speed, memory and recovery measurements."""
