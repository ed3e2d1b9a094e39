// Package apiproxy stands between the program under test and a real API
// server. It records every request, so that a test can assert what was read
// and written, and breaks the ones that the test picks:
//
//	api.Inject(apiproxy.Fault{
//		Match: apiproxy.Write("deployments", "jobs-manager"),
//		Times: 1,
//		Do:    apiproxy.Refuse(409, "Conflict", "the object has been modified"),
//	})
//
// Hooks (fault.Before, fault.After, fault.Hold, fault.Lose) run between the
// program and the server, which is where a test kills the program or lets
// something else change the object. It speaks HTTP/1.1, so that a reset is a
// TCP reset and hits one request.
package apiproxy
