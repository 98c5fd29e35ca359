"""The rules, one module for each topic. A function is a rule; its name is what reports and documents call it."""
