package rows

import (
	"fmt"
	"strings"

	"github.com/simroot/simroot/internal/platform/store"
)

// manyFleetsOf is how many SIMs are looked up in one statement. The last one is filled up with one of them.
const manyFleetsOf = 50

var selectFleetsOf = func() string {
	var parameters []string
	for n := range manyFleetsOf {
		parameters = append(parameters, fmt.Sprintf("?%d", n+1))
	}
	these := " WHERE iccid IN (" + strings.Join(parameters, ", ") + ")"
	return "SELECT iccid, fleet, 0 FROM sims" + these + " UNION SELECT iccid, fleet, 1 FROM credentials" + these + " ORDER BY 1, 3, 2"
}()

// FleetsOf implements [store.SIMs].
func (t *Tx) FleetsOf(iccids []string) (map[string]store.SIMFleets, error) {
	type found struct {
		iccid, fleet string
		held         int
	}
	all := map[string]store.SIMFleets{}
	for rest := iccids; len(rest) > 0; rest = rest[min(manyFleetsOf, len(rest)):] {
		these := make([]any, manyFleetsOf)
		for i := range these {
			these[i] = rest[min(i, len(rest)-1)]
		}
		some, err := list(t, func(row scanner) (f found, err error) { return f, row.Scan(&f.iccid, &f.fleet, &f.held) }, selectFleetsOf, these...)
		if err != nil {
			return nil, err
		}
		for _, f := range some {
			of := all[f.iccid]
			if f.held == 0 {
				of.Present = f.fleet
			} else {
				of.Held = append(of.Held, f.fleet)
			}
			all[f.iccid] = of
		}
	}
	return all, nil
}
