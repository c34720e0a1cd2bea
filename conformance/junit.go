package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The XML that continuous integration servers read as JUnit's.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML.
func (r Report) WriteJUnit(w io.Writer) error {
	suite := junitSuite{
		Name: "IoT SAFE applet " + r.AID.String(), Tests: len(r.Results),
		Failures: r.Count(Failed), Skipped: r.Count(Skipped),
	}
	var total time.Duration
	for _, result := range r.Results {
		total += result.Duration
		c := junitCase{Class: "chapter " + result.Chapter, Name: result.ID + " " + result.Title, Time: seconds(result.Duration)}
		switch result.Outcome {
		case Failed:
			var b strings.Builder
			for _, e := range result.Exchanges {
				fmt.Fprintf(&b, "> %s\n< %s\n", e.Command, e.Answer)
			}
			c.Failure = &junitMessage{Message: result.Reason, Text: b.String()}
		case Skipped:
			c.Skipped = &junitMessage{Message: result.Reason}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
