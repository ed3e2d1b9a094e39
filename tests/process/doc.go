// Package process runs the servers that a test needs beside itself and sees
// to it that none outlives the test: each is stopped by its own process id,
// and on Linux the kernel kills it when the test dies without saying goodbye
// (a panic, a timeout, kill -9).
package process
