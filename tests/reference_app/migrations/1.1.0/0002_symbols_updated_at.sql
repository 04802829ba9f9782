-- arxos: no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS symbols_updated_at_idx ON arxos_prod.symbols (updated_at);
