"""The servers of the scenarios: started here, or found where the environment says."""
