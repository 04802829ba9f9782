-- Expand: what 1.0.0 does not know does not trouble it, so that it can come back.
ALTER TABLE arxos_prod.buildings ADD COLUMN IF NOT EXISTS description text;
COMMENT ON COLUMN arxos_prod.buildings.description IS 'What the owner says of the building';
