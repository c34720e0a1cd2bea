package main

import (
	"os"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/simroot/simroot/api"
)

// addEST gives a profile the flags of enrolment over EST. Each of them turns it on.
func addEST(flags *pflag.FlagSet, p *api.Profile) {
	add := func(name, kind, text string, set func(e *api.EST, value string) error) {
		f := flags.VarPF(&estFlag{profile: p, kind: kind, set: set}, name, "", text)
		if kind == "bool" {
			f.NoOptDefVal = "true"
		}
	}
	toggle := func(field func(*api.EST) *bool) func(*api.EST, string) error {
		return func(e *api.EST, value string) (err error) {
			*field(e), err = strconv.ParseBool(value)
			return err
		}
	}
	flags.VarPF(estSwitch{p}, "est", "", "let devices enrol over EST too; --est=false ends it").NoOptDefVal = "true"
	add("est-factory-roots", "file", "file with the CAs, PEM, whose factory certificates are accepted for EST", func(e *api.EST, file string) error {
		roots, err := os.ReadFile(file)
		e.FactoryRoots = string(roots)
		return err
	})
	add("est-iccid-from", "attribute", "attribute of a factory certificate's subject that is the ICCID: serialNumber or commonName (default serialNumber)", func(e *api.EST, value string) error {
		e.ICCIDFrom = api.SubjectAttribute(value)
		return nil
	})
	add("est-require-binding", "bool", "refuse EST requests that are not bound to their TLS connection", toggle(func(e *api.EST) *bool { return &e.RequireChannelBinding }))
	add("est-server-keygen", "bool", "let the platform make keys for devices over EST", toggle(func(e *api.EST) *bool { return &e.ServerKeygen }))
}

// estFlag is a flag that changes the EST settings of a profile.
type estFlag struct {
	profile    *api.Profile
	kind, text string
	set        func(e *api.EST, value string) error
}

func (f *estFlag) String() string { return f.text }
func (f *estFlag) Type() string   { return f.kind }

func (f *estFlag) Set(value string) error {
	f.text = value
	e := api.EST{}
	if f.profile.EST != nil {
		e = *f.profile.EST
	}
	if err := f.set(&e, value); err != nil {
		return err
	}
	f.profile.EST = &e
	return nil
}

// estSwitch is the flag that turns enrolment over EST on and off as a whole.
type estSwitch struct{ profile *api.Profile }

func (f estSwitch) String() string {
	return strconv.FormatBool(f.profile != nil && f.profile.EST != nil)
}
func (f estSwitch) Type() string { return "bool" }

func (f estSwitch) Set(value string) error {
	on, err := strconv.ParseBool(value)
	switch {
	case err != nil:
		return err
	case !on:
		f.profile.EST = nil
	case f.profile.EST == nil:
		f.profile.EST = &api.EST{}
	}
	return nil
}
