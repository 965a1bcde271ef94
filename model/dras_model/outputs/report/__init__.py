"""The page for a clinician: what it says (`content`), its pictures, and two drawings of both (`html`, `pdf`)."""
