module acme/my-plugin

go 1.24
