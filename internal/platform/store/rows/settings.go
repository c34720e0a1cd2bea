package rows

// Setting implements [store.Tx].
func (t *Tx) Setting(name string) (value string, err error) {
	return value, t.one("SELECT value FROM settings WHERE name = ?", []any{name}, &value)
}

// SetSetting implements [store.Tx].
func (t *Tx) SetSetting(name, value string) error {
	return t.change("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}
