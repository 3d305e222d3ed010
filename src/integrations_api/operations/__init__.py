"""What an operator looks at: metrics, and the doctor."""
