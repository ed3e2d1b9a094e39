// Package contract holds what the program prints against what the documentation
// says of it: results against the JSON Schema in docs/schema, log lines against
// the tables in docs/logs.md. The harness asks it about every run of every
// scenario, so a field or a key that nobody documented fails a test.
package contract
