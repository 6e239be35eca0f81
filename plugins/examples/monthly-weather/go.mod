module acme/monthly-weather

go 1.24
