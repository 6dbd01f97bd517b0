"""What tests share: a site with the installed command, servers, forgers, shifted clocks, and page generators."""
