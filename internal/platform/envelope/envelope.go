package envelope

type Envelope struct{}
