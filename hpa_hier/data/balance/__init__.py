"""How often each training sample is seen."""
