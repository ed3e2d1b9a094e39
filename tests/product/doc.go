// Package product builds the program under test from this repository and runs
// it as its users do: a process with an environment, whose exit code, standard
// output and standard error are all there is to see.
package product
