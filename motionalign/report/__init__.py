"""What people read of results: tables, plots, pictures of motion and a page of examples."""
