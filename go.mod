module github.com/simroot/simroot

go 1.26.0
