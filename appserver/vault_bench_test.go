package appserver

import "testing"

// BenchmarkOpenSecret is the cost of one secret, from the file to the key.
func BenchmarkOpenSecret(b *testing.B) {
	v, _ := newVault(b, 1000)
	for name, id := range map[string]string{"known": "credential 500", "decoy": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				secret, _, err := v.open(id)
				if err != nil {
					b.Fatal(err)
				}
				clear(secret)
			}
		})
	}
}
