"""What every simulated source is made of: clock, dice, requests and answers, faults, control plane, server."""
