"""LangGraph graphs that survive."""
