-- One row for each carrier: how much time its flights lose, in all weather, in bad and in clear weather.
select
  carrier,
  any_value(carrier_name) as name,
  count(*) as flights,
  count(*) filter (where not arrived) as not_arrived,
  round(avg(arr_delay), 1) as average_arrival_delay,
  coalesce(sum(minutes_lost), 0)::bigint as minutes_lost,
  round(avg(minutes_lost), 1) as minutes_lost_per_flight,
  count(*) filter (where arrived and bad_weather) as bad_weather_flights,
  coalesce(sum(minutes_lost) filter (where bad_weather), 0)::bigint as bad_weather_minutes_lost,
  round(avg(minutes_lost) filter (where bad_weather), 1) as bad_weather_minutes_lost_per_flight,
  count(*) filter (where arrived and not bad_weather) as clear_weather_flights,
  coalesce(sum(minutes_lost) filter (where not bad_weather), 0)::bigint as clear_weather_minutes_lost,
  round(avg(minutes_lost) filter (where not bad_weather), 1) as clear_weather_minutes_lost_per_flight,
  -- Of 100 minutes lost, how many were lost in bad weather.
  round(100 * sum(minutes_lost) filter (where bad_weather) / sum(minutes_lost), 1) as bad_weather_share
from flights_enriched
group by carrier
