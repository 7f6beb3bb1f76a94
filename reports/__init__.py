"""What people look at: heat maps, reports, pages."""
