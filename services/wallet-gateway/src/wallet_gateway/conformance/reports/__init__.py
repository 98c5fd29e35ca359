"""How a run is told: a table for the person who runs it, JUnit XML for build servers, HTML for whoever was not there."""
